/**
 * Runs the mock for developing the UI:
 *   bun ui/dev/mock-server.ts [--port N] [--vms N] [--nodes N] [--empty] [--kvm] [--ui FOLDER]
 * Sign in as admin, operator or viewer with "correct horse battery".
 */
import { parseArgs } from "node:util";
import { MockServer } from "./mock/server.ts";

const { values } = parseArgs({
	options: {
		port: { type: "string", default: "0" },
		vms: { type: "string", default: "40" },
		nodes: { type: "string", default: "1" },
		empty: { type: "boolean", default: false },
		kvm: { type: "boolean", default: false },
		ui: { type: "string" },
	},
});
const server = new MockServer({
	port: Number(values.port),
	vms: Number(values.vms),
	nodes: Number(values.nodes),
	empty: values.empty,
	accelerator: values.kvm ? "kvm" : "tcg",
	...(values.ui ? { uiFolder: values.ui } : {}),
});
console.log(server.url);
