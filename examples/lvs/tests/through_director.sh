#!/bin/sh
# Ten requests to the director, as users send them, must reach both servers.
set -eu
for _ in 1 2 3 4 5 6 7 8 9 10; do curl --silent --fail --max-time 5 "http://$KUMOI_DIRECTOR_ADDRESSES/"; done >answers
seen=$(sort -u answers | wc -l)
failure=""
[ "$seen" -eq 2 ] || failure="<failure>$seen servers answered, 2 were expected</failure>"
echo "<testsuite name=\"lvs\"><testcase classname=\"director\" name=\"both servers answer\">$failure</testcase></testsuite>" >results.xml
[ -z "$failure" ]
