#!/bin/sh
set -eu
command -v chef-client >/dev/null || { echo "the image has no chef-client: see README.md" >&2; exit 1; }
sudo env KUMOI_SERVER="$KUMOI_SERVER" KUMOI_COMMIT="$KUMOI_COMMIT" \
    chef-client --local-mode --chef-license accept-silent --config-option cookbook_path="$PWD/cookbooks" \
    --override-runlist 'recipe[hello]'
