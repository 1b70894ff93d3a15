// Runs after the job's last step, when all of them passed.
process.exitCode = require("./python").run("save");
