/** README names the packages that a host needs: those that are installed by `npm start`. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runtimePackages } from "./debian-packages.mjs";
import { root } from "./root.ts";

test("README's command installs what a node needs to run VMs", () => {
	const readme = readFileSync(join(root, "README.md"), "utf8");
	const command = /^apt-get install --no-install-recommends ((?:.*\\\n)*.*)$/m.exec(readme)?.[1] ?? "";
	const named = command.split(/[\s\\]+/).filter((word) => word !== "");
	expect(named).toEqual(runtimePackages);
});
