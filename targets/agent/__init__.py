"""What moves into an app under test: standard library only, so that it runs in anybody's environment (Python 3.10 or newer).

Where the app is somebody else's, a copy of this folder is put on its path under another name: hence
relative imports only.
"""
