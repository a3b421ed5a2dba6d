#!/bin/sh
# docker build, as it was before BuildKit, and other ways in which images come and go.
set -eu
cd "$TMPDIR"
export DOCKER_BUILDKIT=0
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
docker build -q -t "$built" --label theirs=2 context 2>/dev/null >/dev/null
docker run --rm --network=none "$built"
docker run --rm -i --network=none "$built" cat /big | cmp - context/big && echo "the same"
docker inspect --format '{{.Config.Labels.mine}} {{.Config.Labels.theirs}}' "$built"
# Without its name it would stay.
docker rmi "$built" >/dev/null

printf 'FROM %s\nENV A=b\n' "$CONTAINERS_IMAGE" | docker build -q -t "$built" - >/dev/null 2>&1
docker inspect --format '{{.Config.Env}}' "$built"

docker save "$built" >saved
docker rmi "$built" >/dev/null
docker load -q <saved >/dev/null
docker tag "$built" "$built-again"
docker image ls -q "$built-again" | grep -c .
docker rmi "$built-again" "$built" >/dev/null
docker rmi "$built" >/dev/null 2>&1 || echo "status $?"

# A step that fails leaves the container in which it ran, unless the engine is told not to.
printf 'FROM %s\nRUN exit 5\n' "$CONTAINERS_IMAGE" | docker build - >/dev/null 2>&1 || echo "status $?"
