#!/bin/sh
# docker build with BuildKit, which speaks HTTP/2 through an upgraded connection of its own.
set -eu
cd "$TMPDIR"
export DOCKER_BUILDKIT=1 BUILDKIT_PROGRESS=plain
built="$CONTAINERS_IMAGE-built"
mkdir -p context
yes 0123456789abcdef | head -c 5000000 >context/big
cat >context/Dockerfile <<END
FROM $CONTAINERS_IMAGE
COPY big /big
RUN echo made >/made
LABEL mine=1
CMD ["cat", "/made"]
END
"$CONTAINERS_BUILDER" build -q -t "$built" --label theirs=2 context >/dev/null
docker run --rm --network=none "$built"
docker run --rm -i --network=none "$built" cat /big | cmp - context/big && echo "the same"
docker inspect --format '{{.Config.Labels.mine}} {{.Config.Labels.theirs}}' "$built"
docker rmi "$built" >/dev/null
printf 'FROM %s\nRUN exit 5\n' "$CONTAINERS_IMAGE" | "$CONTAINERS_BUILDER" build - >/dev/null 2>&1 || echo "status $?"
