"""`python -m teachseg.cli`: what torchrun starts.

No boxes here.

Lesson: 42
"""

from teachseg.cli import main

if __name__ == "__main__":
    main()
