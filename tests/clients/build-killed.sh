#!/bin/sh
# Leaves a client that builds, in the middle of a step.
set -eu
export DOCKER_BUILDKIT=0
printf 'FROM %s\nRUN sleep 300\n' "$CONTAINERS_IMAGE" | docker build - >/dev/null 2>&1 &
until docker ps --filter "ancestor=$CONTAINERS_IMAGE" --no-trunc --format '{{.Command}}' | grep -q 'sleep 300'; do sleep 0.1; done
echo building
