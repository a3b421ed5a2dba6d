#!/bin/sh
# docker run -it and exec -it, at a terminal.
set -eu
cd "$TMPDIR"
at_terminal() { script -qec "stty rows 33 cols 77; $1" /dev/null | tr -d '\r'; }

# The container's terminal is as large as ours, as soon as the client has told it.
at_terminal "docker run --rm -it --network=none $CONTAINERS_IMAGE sh -c '
    until [ \"\$(busybox stty size 2>/dev/null)\" = \"33 77\" ]; do sleep 0.1; done; busybox tty; echo large'"

# What is typed comes back as an echo, and reaches the shell.
printf 'echo $((40 + 2))\nexit 3\n' | at_terminal "docker run --rm -it --network=none $CONTAINERS_IMAGE sh || echo status \$?" |
    grep -x -e 42 -e 'status 3'

id=$(docker run -d --network=none "$CONTAINERS_IMAGE" sleep 300)
printf 'echo $((6 * 7))\nexit 4\n' | at_terminal "docker exec -it $id sh || echo status \$?" | grep -x -e 42 -e 'status 4'
docker kill "$id" >/dev/null
docker rm "$id" >/dev/null
