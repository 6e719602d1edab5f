#!/bin/sh
# Starts a program by its short name: sr-dataset, sr-dsen2, sr-spot7, ...; anything else is run as it is.
set -eu
case ${1:-} in
    sr-dataset) shift && exec python3 -m sr_dataset "$@" ;;
    sr-*) program=${1#sr-} && shift && exec python3 -m "inference.$program" "$@" ;;
    "") exec python3 -m inference.dsen2 --help ;;
    *) exec "$@" ;;
esac
