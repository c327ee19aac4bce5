#!/bin/sh
# Makes this server a web server that says hello. Run on it, in a copy of this repository, at every
# push. It needs nothing from outside: the image has Python.
set -eu

sudo install -d /opt/hello
sudo install -m 0644 hello.py /opt/hello/hello.py
echo "COMMIT=$KUMOI_COMMIT" | sudo tee /opt/hello/commit.env >/dev/null
sudo install -m 0644 deploy/hello.service /etc/systemd/system/hello.service
sudo systemctl daemon-reload
sudo systemctl enable hello.service
sudo systemctl restart hello.service
