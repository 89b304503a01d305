// First program of every npm script: checks Node's version, installs what is missing, goes on under the
// project's own Node. Any old Node must be able to read this file to its end, so it keeps to ES5; what
// comes after the version check stands in install/.
"use strict";

/** npm and our installer need this much; everything else runs under the newer Node that gets installed. */
var MIN_NODE = 20;

/** @param {string} version @returns {string | null} the message for the user, or null if this Node will do */
function versionComplaint(version) {
  var major = parseInt(version.replace(/^v/, ""), 10);
  if (major >= MIN_NODE) return null;
  return (
    "This is Node " +
    version +
    ", and Node " +
    MIN_NODE +
    " or newer is needed: install one (for example with your system's package manager, or `nvm install " +
    MIN_NODE +
    "`) and run the same command again."
  );
}

module.exports = { versionComplaint: versionComplaint };

if (require.main === module) {
  var complaint = versionComplaint(process.version);
  if (complaint === null) {
    void require("./install/install.cjs").run(process.argv.slice(2));
  } else {
    console.error(complaint);
    process.exitCode = 1;
  }
}
