#!/bin/sh
# Salt comes from PyPI, into an environment of its own. An image that has it makes every push quicker.
set -eu
if [ ! -x /opt/salt/bin/salt-call ]; then
    sudo apt-get -qy update
    sudo DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends python3-venv
    sudo python3 -m venv /opt/salt
    sudo /opt/salt/bin/pip install --quiet salt
fi
sudo /opt/salt/bin/salt-call --local --file-root "$PWD/salt" --retcode-passthrough --state-output=changes \
    state.apply hello pillar="{\"server\": \"$KUMOI_SERVER\", \"commit\": \"$KUMOI_COMMIT\"}"
