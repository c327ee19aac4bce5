#!/bin/sh
set -eu
sudo install -d /opt/hello
echo "hello from $KUMOI_SERVER" | sudo tee /opt/hello/index.html >/dev/null
sudo tee /etc/systemd/system/hello.service >/dev/null <<'UNIT'
[Service]
ExecStart=/usr/bin/python3 -m http.server --directory /opt/hello 80
[Install]
WantedBy=multi-user.target
UNIT
sudo systemctl enable --now hello
