"""What moves into an app under test: standard library only, as it runs in the app's environment.

Python 3.10 or newer. A copy of this folder is put on the path of the user's app under another name:
hence relative imports only.
"""
