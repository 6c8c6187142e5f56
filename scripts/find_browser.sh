#!/usr/bin/env bash
# A browser for the tests of pages: the one that is there, or the distribution's, where it can be installed.
set -euo pipefail
for name in chromium-headless-shell chromium chromium-browser google-chrome; do
    if command -v "$name" > /dev/null; then
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get install --yes --quiet=2 chromium-headless-shell > /dev/null \
        || { apt-get update --quiet=2 > /dev/null && apt-get install --yes --quiet=2 chromium-headless-shell > /dev/null; } \
        || echo "no chromium could be installed: tests of pages will be skipped"
else
    echo "there is no chromium: tests of pages will be skipped (Debian: apt install chromium-headless-shell)"
fi
