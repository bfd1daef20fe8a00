/** Moving a VM to another node, and choosing a node for a new one. */
const plural = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

export const move = {
	action: "Move",
	note: "To another node",
	title: (name: string) => `Move ${name}`,
	from: (node: string) => `It is on ${node} now, and off.`,
	target: "Move to",
	targetHint: "Memory and CPUs count what all VMs there want, running or not.",
	noOther: "There is no other node.",
	chooseFirst: "Choose a node.",
	left: (memory: string) => `${memory} of memory left after it`,
	over: (memory: string) => `${memory} more memory wanted than there is`,
	vcpus: (vcpus: number, cpus: number) => `${vcpus} vCPUs on ${cpus} CPUs`,
	obstacles: {
		witness: "A witness runs no VMs.",
		phase: (phase: string, reason: string | null) => (reason ? `${phase}: ${reason}` : `${phase}.`),
		memory: (has: string, wants: string) => `It has ${has} of memory, the VM wants ${wants}.`,
		bridge: (bridge: string, network: string) => `It has no bridge ${bridge}, which the network ${network} is on.`,
		pool: "It has no storage pool that can be used.",
	},
	what: "What happens",
	copies: (disks: number, size: string, from: string) =>
		`${plural(disks, "disk is", "disks are")} copied, up to ${size}, and removed from ${from} afterwards.`,
	noCopies: "Nothing is copied: its disks are on shared storage.",
	noDisks: "It has no disks: nothing is copied.",
	stays: (name: string) => `Until all of it is there, ${name} stays where it is. It can be canceled until then.`,
	firmware: "Its firmware variables go along.",
	tpm: "Its firmware variables and its TPM go along.",
	goneTitle: (node: string) => `${node} is not heard of`,
	goneText: (name: string, node: string) =>
		`Only the record of ${name} is moved; on ${node} nothing is changed. If ${node} still runs it, and it is started here, both write to the same disks and destroy them. Make sure that ${node} is off and stays off.`,
	lost: (disk: string, node: string) => `Its disk ${disk} lies on ${node}, which is not heard of: it cannot be moved.`,
	waits: (node: string, reason: string | null) =>
		`${node} is not ready, but it answers${reason === null ? "." : `: ${reason}`} The VM is moved when it is ready.`,
	isOff: (node: string) => `${node} is off and stays off`,
	isOffHint: "This is kept in the audit, with your name.",
	confirmOff: "Confirm that its node is off.",
	failed: (name: string) => `Move ${name}`,
	moveElsewhere: "Move to another node",

	node: "Node",
	everyNode: "all",
	automatic: "Automatic",
	automaticStorage: "The node with the most room in the pool.",
	automaticHint: "The node with the most memory left after it, then the one with the fewest vCPUs for each CPU.",
	nodeChoice: (name: string, left: string) => `${name}: ${left}`,
	nodeOff: (name: string, obstacle: string) => `${name}: ${obstacle}`,
	onBest: "the node with the most memory left",
} as const;
