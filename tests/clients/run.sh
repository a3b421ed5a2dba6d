#!/bin/sh
# docker run, in its ways, and what belongs to it.
set -eu
cd "$TMPDIR"
docker run --rm --network=none "$CONTAINERS_IMAGE" echo hello
docker run --rm --network=none "$CONTAINERS_IMAGE" sh -c 'echo oops >&2; exit 7' 2>&1 || echo "status $?"
printf 'in and out' | docker run --rm -i --network=none "$CONTAINERS_IMAGE" cat
echo
docker run --rm --network=none "$CONTAINERS_IMAGE" missing >/dev/null 2>&1 || echo "status $?"
docker run --rm --network=none -e A=b -w /tmp --label c=d "$CONTAINERS_IMAGE" sh -c 'echo "$A $PWD"'

# A megabyte that comes back through an attached stream.
yes 0123456789abcdef | head -c 1000000 >big
docker run --rm -i --network=none "$CONTAINERS_IMAGE" cat <big | cmp - big && echo "the same"

id=$(docker create -i --network=none "$CONTAINERS_IMAGE" cat)
echo attached | docker start -a -i "$id"
docker wait "$id"
docker rm "$id" >/dev/null

id=$(docker run -d --network=none "$CONTAINERS_IMAGE" sleep 300)
docker inspect --format '{{.State.Status}}' "$id"
docker ps -q --no-trunc | grep -c "$id"
docker stats --no-stream --format '{{.Container}}' "$id" | cmp - <<END && echo "its statistics"
$id
END
docker pause "$id" >/dev/null
docker unpause "$id" >/dev/null
docker rename "$id" "$(basename "$CONTAINERS_IMAGE" :busybox)-renamed"
docker kill "$id" >/dev/null
docker wait "$id"
docker rm -v "$id" >/dev/null

# A volume that comes to be with its container, unless there is none.
volume=$(basename "$CONTAINERS_IMAGE" :busybox)-volume
there() { docker volume ls -q | grep -c -x "$volume" || true; }
docker create --network=none --memory=1 -v "$volume:/data" "$CONTAINERS_IMAGE" >/dev/null 2>&1 || echo "status $?"
there
docker run --rm --network=none -v "$volume:/data" "$CONTAINERS_IMAGE" sh -c 'echo kept >/data/file'
docker run --rm --network=none --mount "type=volume,source=$volume,target=/data,readonly" "$CONTAINERS_IMAGE" cat /data/file
docker volume inspect --format '{{.Driver}} {{.Scope}} {{.Options}}' "$volume"
id=$(docker create --network=none -v "$volume:/data:ro" "$CONTAINERS_IMAGE" cat /data/file)
docker inspect --format '{{.HostConfig.Binds}}' "$id" | sed "s/$volume/volume/"
docker start -a "$id"
docker volume rm "$volume" >/dev/null 2>&1 || echo "status $?"
docker rm -v "$id" >/dev/null
there
docker volume rm "$volume" >/dev/null
there

# What the engine tells while it happens.
since=$(date +%s)
docker run --rm --network=none --label "events=$$" "$CONTAINERS_IMAGE" echo
docker events --since "$since" --until "$(($(date +%s) + 1))" --filter "label=events=$$" --format '{{.Action}}' | grep -x -e create -e start
