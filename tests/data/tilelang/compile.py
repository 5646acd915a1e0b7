"""Compiles every program for its targets and writes the folders. Nothing changes if nothing changed."""

import case
import programs

if __name__ == "__main__":
    for each in programs.cases():
        case.write(each)
