#!/bin/sh
# Stand-in for the office suite's headless converter.
sleep "${2:-0.1}"
echo "converted $1"
