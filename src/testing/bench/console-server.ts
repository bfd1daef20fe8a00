/** The real console proxy in a process of its own, for the benchmark: `bun console-server.ts VNC_SOCKET`. */
import { localIdentity } from "../../auth/identity.ts";
import { type ConsoleData, createConsoles } from "../../console/console.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";

const socketPath = process.argv[2] ?? "";
let vms = 0;
const consoles = createConsoles({
	node: {
		vncSocket: async () => socketPath,
		openSerial: () => Promise.reject(new Error("there is no serial console here")),
	},
	clock: systemClock,
	random: systemRandom,
	logger: silentLogger,
	isOwnOrigin: () => true,
	watchCredential: () => () => {},
	recordDenial: async () => {},
});
const server = Bun.serve<ConsoleData>({
	port: 0,
	hostname: "127.0.0.1",
	websocket: consoles.websocket,
	async fetch(request, self) {
		if (new URL(request.url).pathname === "/v1/console") return consoles.handleUpgrade(request, self);
		vms += 1;
		const ticket = await consoles.createTicket({
			// Each its own, as on a node: one VM has few consoles.
			vmId: `vm-${vms}`,
			kind: "native",
			type: "vnc",
			viewOnly: false,
			identity: localIdentity,
		});
		return Response.json(ticket);
	},
});
console.log(server.port);
