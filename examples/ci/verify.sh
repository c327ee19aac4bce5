#!/bin/sh
# Push the commit that a CI has checked out, wait for its run, and leave results.xml and report.html here.
#
#   KUMOI_REMOTE   where to push, such as https://ID:SECRET@192.0.2.1:5002/git/demo/shop.git
#                  (ID and SECRET of an application credential: openstack application credential create ci)
#   KUMOI_BRANCH   the branch there (default: main)
#   KUMOI          the command line, such as /opt/kumoi/kumoi (default: kumoi), which reads clouds.yaml
#   OS_CLOUD       the entry of clouds.yaml (default: kumoi)
#
# Ends with 0 verified, 1 failed or refused, 3 cancelled (a newer push came), 75 nobody answered.
set -u
kumoi=${KUMOI:-kumoi}
cloud=${OS_CLOUD:-kumoi}
branch=${KUMOI_BRANCH:-main}

said=$(git push --force -o kumoi.wait=no "$KUMOI_REMOTE" "HEAD:refs/heads/$branch" 2>&1) || {
    printf '%s\n' "$said" | sed 's#://[^@ ]*@#://#' >&2
    exit 1
}
run=$(printf '%s\n' "$said" | sed -n 's/^remote: run \([0-9a-f]*\) started.*/\1/p' | tail -n 1)
if [ -z "$run" ]; then
    # The branch was at this commit already: its newest run counts.
    run=$("$kumoi" run list --os-cloud "$cloud" --branch "$branch" --json |
        sed -n 's/^    "id": "\([0-9a-f]*\)",$/\1/p' | head -n 1)
fi
if [ -z "$run" ]; then
    echo "the push began no run" >&2
    exit 1
fi
"$kumoi" run follow --os-cloud "$cloud" "$run"
status=$?
"$kumoi" run junit --os-cloud "$cloud" "$run" >results.xml || status=75
"$kumoi" run report --os-cloud "$cloud" "$run" >report.html || status=75
exit $status
