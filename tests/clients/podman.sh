#!/bin/sh
# podman, as its own client: build, run, exec, logs, cp.
set -eu
cd "$TMPDIR"
built="$CONTAINERS_IMAGE-built"
mkdir context
yes 0123456789abcdef | head -c 5000000 >context/big
printf 'FROM localhost/%s\nCOPY big /big\nRUN echo made >/made\nLABEL mine=1\nCMD ["cat", "/made"]\n' "$CONTAINERS_IMAGE" >context/Dockerfile
podman build --network=none -q -t "$built" --label theirs=2 context >/dev/null
podman run --rm --network=none "$built"
podman run --rm -i --network=none "$built" cat /big | cmp - context/big && echo "the same"
podman inspect --format '{{.Labels.mine}} {{.Labels.theirs}}' "$built"
podman inspect --format '{{.Labels}}' "$built" | grep -c dev.cargo-stt.built >labels || true
podman rmi "$built" >/dev/null
# A step that fails.
printf 'FROM localhost/%s\nRUN exit 5\n' "$CONTAINERS_IMAGE" >context/Dockerfile
podman build --network=none context >/dev/null 2>&1 || echo "status $?"

id=$(podman run -d --network=none "$CONTAINERS_IMAGE" sh -c 'echo one; echo two >&2; until [ -e /go ]; do sleep 0.1; done; echo three')
podman exec "$id" sh -c 'echo inside; exit 9' || echo "status $?"
printf through | podman exec -i "$id" cat
echo
podman cp context/big "$id:/big"
podman cp "$id:/big" back
cmp back context/big && echo "the same"
podman logs -f "$id" >followed 2>complaints &
until grep -q one followed && grep -q two complaints; do sleep 0.1; done
podman exec "$id" sh -c 'echo >/go'
wait $!
cat followed complaints
podman wait "$id"
podman rm -v "$id" >/dev/null
cp labels "${CONTAINERS_LABELS:-/dev/null}"
