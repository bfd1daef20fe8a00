/** Before each test file in the storage lab VM: our own executable, started from a test, is no Bun. */
delete process.env.BUN_BE_BUN;
