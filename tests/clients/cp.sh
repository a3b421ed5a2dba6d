#!/bin/sh
# docker cp.
set -eu
cd "$TMPDIR"
id=$(docker run -d --network=none "$CONTAINERS_IMAGE" sleep 300)
mkdir -p there/deep
yes abcdefghijklmno | head -c 20000000 >there/deep/big
echo small >there/small
docker cp there "$id:/there" 2>/dev/null
docker exec "$id" cat /there/small
docker cp "$id:/there" back 2>/dev/null
diff -r there back && echo "the same"
tar -c there | docker cp - "$id:/bin" 2>/dev/null
docker cp "$id:/bin/there" - 2>/dev/null | tar -x -O there/small
docker cp "$id:/nowhere" . >/dev/null 2>&1 || echo "status $?"
docker export "$id" | tar -t | grep -x there/deep/big
docker diff "$id" | grep /there/small | sort
docker kill "$id" >/dev/null
docker rm "$id" >/dev/null
