#!/bin/sh
# Makes sure that commands are there: each argument is `command` or `command:debian-package`.
# As root it installs what is missing from Debian's packages, otherwise it says what to install.
missing=
for need in "$@"; do
    command=${need%%:*}
    package=${need#*:}
    if [ "$command" = initdb ]; then
        ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && continue
    fi
    command -v "$command" >/dev/null 2>&1 || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing$missing"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing && exit 0
fi
echo "These Debian packages are missing; install them first:$missing" >&2
exit 1
