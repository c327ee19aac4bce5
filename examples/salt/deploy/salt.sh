#!/bin/sh
# Salt comes from PyPI, into an environment of its own. An image that has it makes every push quicker. Where servers
# have no way out, the repository brings the packages along, made where Python is the servers' (3.11 in Debian 12):
#     pip wheel --wheel-dir packages salt pip
set -eu
salt=/opt/salt/bin/salt-call
if [ ! -x "$salt" ]; then
    if [ -d packages ]; then
        sudo python3 -m venv --without-pip /opt/salt
        set -- packages/pip-*.whl
        sudo /opt/salt/bin/python3 "$1/pip" install --quiet --no-index --find-links packages salt
    else
        sudo apt-get -qy update
        sudo DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends python3-venv
        sudo python3 -m venv /opt/salt
        sudo /opt/salt/bin/pip install --quiet salt
    fi
fi
sudo "$salt" --local --file-root "$PWD/salt" --retcode-passthrough --state-output=changes \
    state.apply hello pillar="{\"server\": \"$KUMOI_SERVER\", \"commit\": \"$KUMOI_COMMIT\"}"
