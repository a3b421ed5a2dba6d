#!/bin/sh
# docker logs.
set -eu
cd "$TMPDIR"
id=$(docker run -d --network=none "$CONTAINERS_IMAGE" sh -c 'echo one; echo two >&2; until [ -e /go ]; do sleep 0.1; done; echo three')
# Following ends with the container.
docker logs -f "$id" >followed 2>complaints &
until grep -q one followed && grep -q two complaints; do sleep 0.1; done
docker exec "$id" sh -c 'echo >/go'
wait $!
cat followed complaints
docker logs --tail 1 "$id" 2>/dev/null
docker rm "$id" >/dev/null

# Who stops following harms nobody.
id=$(docker run -d --network=none "$CONTAINERS_IMAGE" sh -c 'echo begin; sleep 300')
docker logs -f "$id" >followed &
until grep -q begin followed; do sleep 0.1; done
kill -9 $!
wait $! || true
docker inspect --format '{{.State.Status}}' "$id"
docker kill "$id" >/dev/null
docker rm "$id" >/dev/null
