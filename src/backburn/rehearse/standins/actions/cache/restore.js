// Only a node action can have a post step; the work is done in cache.py.
process.exitCode = require("./python").run("restore");
