"""HTTP for all: routing, requests, errors, limits and listeners. It knows no service."""
