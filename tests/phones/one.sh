#!/usr/bin/env bash
# One phone test: `one.sh NAME PATH-TO-OFFHOOK`. What it says is shown whole when it is done, for two run at a time.
said=$(python3 "$(dirname "$0")/$1.py" "$2" 2>&1)
ended=$?
printf '== %s\n%s\n' "$1" "$said"
exit "$ended"
