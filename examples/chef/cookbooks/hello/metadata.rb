name "hello"
version "1.0.0"
