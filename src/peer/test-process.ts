/**
 * For tests: a node as a process of its own, that can be stopped and killed. Arguments: identity file, port (0: any), the other
 * node's id and address. It answers each heartbeat with one of the same round, and prints its port when it listens.
 */
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { parseAddress } from "./address.ts";
import { loadIdentity } from "./identity.ts";
import { PeerNode } from "./peer.ts";

const [path = "", port = "0", otherId = "", otherAddress = ""] = process.argv.slice(2);
const identity = await loadIdentity(path);
const address = parseAddress(otherAddress);
if (identity === null || address === null) throw new Error("usage");
const node: PeerNode = await PeerNode.open({
	host: "127.0.0.1",
	port: Number(port),
	identity,
	nodeName: "process",
	build: "test",
	features: [],
	handlers: {
		onRaftMessage: (message) => node.sendRaft({ ...message, from: message.to, to: message.from }),
		onSnapshot: (channel) => channel.end(),
		onRequest: async ({ payload }) => payload,
		onStream: async ({ accept }) => {
			const stream = accept();
			for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) await stream.write(chunk);
		},
		join: null,
	},
	clock: systemClock,
	random: systemRandom,
	logger: silentLogger,
});
node.setMembership([{ nodeId: otherId, addresses: [address] }], []);
process.stdout.write(`${node.port}\n`);
