#!/bin/sh
# Stand-in for `exiftool -stay_open True`: one answer per line on standard input.
while read -r name; do
    sleep 0.06
    echo "{\"FileName\": \"$name\", \"Pages\": 12}"
done
