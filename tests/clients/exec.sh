#!/bin/sh
# docker exec.
set -eu
cd "$TMPDIR"
id=$(docker run -d --network=none "$CONTAINERS_IMAGE" sleep 300)
docker exec "$id" echo inside
# Which of the two streams comes first is not said.
docker exec "$id" sh -c 'echo out; echo oops >&2; exit 9' 2>complaint || echo "status $?"
cat complaint
printf through | docker exec -i "$id" cat
echo
yes fedcba9876543210 | head -c 3000000 >big
docker exec -i "$id" cat <big | cmp - big && echo "the same"
# Input ends, and the other direction goes on.
printf 'abc' | docker exec -i "$id" sh -c 'cat; sleep 0.2; echo; echo after'
docker exec -e A=b -w /bin "$id" sh -c 'echo "$A $PWD"'
docker exec -d "$id" sh -c 'echo later >/later'
until docker exec "$id" cat /later 2>/dev/null; do sleep 0.1; done
docker exec "$id" missing >/dev/null 2>&1 || echo "status $?"
docker kill "$id" >/dev/null
docker rm "$id" >/dev/null
