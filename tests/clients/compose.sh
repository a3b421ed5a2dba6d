#!/bin/sh
# Compose: up, exec, logs, run, down.
set -eu
cd "$TMPDIR"
cat >compose.yml <<END
version: "3"
services:
  web:
    image: $CONTAINERS_IMAGE
    command: sh -c 'echo ready; sleep 300'
    volumes: ["data:/data"]
    networks: [net]
  other:
    image: $CONTAINERS_IMAGE
    command: sleep 300
    depends_on: [web]
    networks: [net]
volumes:
  data:
networks:
  net:
END
compose() { docker-compose -f compose.yml -p "$(basename "$CONTAINERS_IMAGE" :busybox)-compose" "$@" 2>>complaints; }
compose up -d
compose exec -T web sh -c 'echo kept >/data/file; echo inside'
compose run --rm -T web cat /data/file
compose logs --no-color web | grep -c ready
compose ps -q | grep -c .
[ "${CONTAINERS_LEAVE:-}" = 1 ] || compose down -v -t 0
