#!/bin/sh
# Puppet's agent is Debian's. Where servers have no way to Debian's packages, and their image has no Puppet, the
# repository brings the packages along.
set -eu
if ! command -v puppet >/dev/null; then
    if [ -d packages ]; then
        sudo dpkg --install packages/*.deb
    else
        sudo apt-get -qy update
        sudo DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends puppet-agent
    fi
fi
# 0: all was as wanted, 2: it is now. All else is a failure.
status=0
sudo env FACTER_kumoi_server="$KUMOI_SERVER" FACTER_kumoi_commit="$KUMOI_COMMIT" \
    puppet apply --detailed-exitcodes --color=false --modulepath deploy/modules deploy/site.pp || status=$?
[ "$status" -eq 0 ] || [ "$status" -eq 2 ]
