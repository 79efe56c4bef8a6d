#!/bin/sh
# Makes sure that commands are there: each argument is `command` or `command:debian-package`.
# As root it installs what is missing from Debian's packages, otherwise it says what to install.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # where ip and iptables are, also for users whose PATH omits it

there() {
    case $1 in
        # Debian keeps it out of the PATH.
        initdb) ls /usr/lib/postgresql/*/bin/initdb ;;
        # A compiler without the C library's headers and start files is of no use.
        cc) command -v cc && echo '#include <stdio.h>' | cc -x c -E - && [ "$(cc -print-file-name=crt1.o)" != crt1.o ] ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

missing=
for need in "$@"; do
    package=${need#*:}
    [ "$package" = gcc ] && package="gcc libc6-dev"
    there "${need%%:*}" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing$missing"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing && exit 0
fi
echo "These Debian packages are missing; install them first:$missing" >&2
exit 1
