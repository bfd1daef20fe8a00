/** `limiquantix cluster backup` and `restore`. A backup is sealed with a passphrase: who has it open has the cluster's authority. */
import { createReadStream } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "../../../lib/errors.ts";
import { isSealed, minPassphraseLength, sealStream, unsealStream } from "../../../lib/sealed-stream.ts";
import type { Cli } from "../../cli.ts";
import { download, writeSparse } from "../../download.ts";
import { usageError } from "../../failure.ts";
import { bytes } from "../../format.ts";
import { readInput } from "../../input-files.ts";
import { file as fileOption, flag, text } from "../../options.ts";
import { verb } from "../../verb.ts";

const passphraseFile = fileOption(
	"--passphrase-file <file>",
	"read the passphrase from a file, or from - (standard input)",
);

export const backupVerb = verb({
	name: "backup",
	summary: "Save the state of the cluster to a file",
	description:
		"Everything but the disks of VMs and what lies beside them: VMs, networks, users, the audit. As root on a node; it goes on running. The file is sealed with a passphrase, which is asked for: the hashes of all secrets and the cluster's authority are in it. The key of the credentials of storage pools is not: it stays in the data folders of the nodes. limiquantix cluster restore takes the file.",
	examples: [
		"limiquantix cluster backup /backup/limiquantix-monday.lqx",
		"limiquantix cluster backup /backup/limiquantix-monday.lqx --passphrase-file /root/backup-passphrase",
	],
	arguments: { "<file>": "where to; - is standard output" },
	options: {
		passphraseFile,
		unsealed: flag("--unsealed", "an open file, for where it is encrypted anyhow"),
		force: flag("--force", "replace the file when it is there"),
	},
	async run(cli, { file }, { passphraseFile: from, unsealed, force }) {
		if (unsealed && from !== undefined) throw usageError("--unsealed and --passphrase-file exclude each other.");
		const passphrase = unsealed ? null : await newPassphrase(cli, from);
		const sealed = passphrase === null ? {} : { transform: sealedWith(cli, passphrase) };
		const received = await download(cli, { title: "backup", path: file, force, ...sealed }, (signal) =>
			cli.call("clusterBackupGet", { signal, timeoutMs: null }),
		);
		if (file !== "-") await cli.output.say(`${file}: ${bytes(received)}`);
	},
});

const sealedWith = (cli: Cli, passphrase: string) => (chunks: AsyncIterable<Uint8Array>) =>
	sealStream(chunks, passphrase, cli.io.random);

export const restoreVerb = verb({
	name: "restore",
	summary: "Make a backup the state of a node that does not run",
	description:
		"On the node, as root, without its service. The file is what limiquantix cluster backup made, or one of the folder snapshots/ of a data folder. The data folder must hold no state: raft/, snapshots/ and state.db* are moved elsewhere before. What else is in it, such as pools/, vms/, tls/ and secrets.key, stays. Changes made after the backup are lost. The node is a cluster of its own afterwards, with a new id: other nodes of the backup are members no more, and join again. All sessions are ended; tokens, users and passwords are those of the backup, also those that were revoked or changed since: review them. Credentials of storage pools have to be entered again where no secrets.key is left. Interrupted, it is run again.",
	examples: ["limiquantix cluster restore /backup/limiquantix-monday.lqx --data-dir /var/lib/limiquantix"],
	arguments: { "<file>": "the backup" },
	options: {
		dataDir: { ...text("--data-dir <folder>", "data folder of the node"), completes: "folder" },
		node: text("--node <name>", "which node of the backup this machine is, when it does not know itself"),
		passphraseFile,
	},
	async run(cli, { file }, { dataDir, node, passphraseFile: from }) {
		if (dataDir === undefined) throw usageError("--data-dir is missing.");
		const restored = await withOpenFile(cli, file, from, (path) => cli.io.offline.restoreSnapshot(path, dataDir, node));
		const { index, nodeName, membersLeft } = restored;
		await cli.output.say(
			`${dataDir} holds the state of ${file} (up to change ${index}), as a cluster of ${nodeName} alone. The node can be started.`,
		);
		if (membersLeft.length > 0)
			await cli.output.say(
				`No members any more: ${membersLeft.join(", ")}. They must not be started with what they have: their VMs are unknown here. They join again: limiquantix cluster join.`,
			);
		await cli.output.say(
			"All sessions are ended. Tokens, users and passwords are those of the backup: what was revoked, disabled or changed since is valid again. Review them first: limiquantix user list, limiquantix token list --all.",
		);
	},
});

async function newPassphrase(cli: Cli, from: string | undefined): Promise<string> {
	if (from === undefined && !cli.io.stdin.isTTY)
		throw usageError("There is no terminal to ask for the passphrase on. Use --passphrase-file, or --unsealed.");
	const passphrase = await readPassphrase(cli, from, "Passphrase for the backup: ");
	if (passphrase.length < minPassphraseLength)
		throw usageError(`A passphrase has at least ${minPassphraseLength} characters.`);
	if (from !== undefined) return passphrase;
	const again = await cli.prompter.secret("The same again: ");
	if (passphrase !== again) throw new AppError("canceled", "The two are not the same. Nothing was saved.");
	return passphrase;
}

async function readPassphrase(cli: Cli, from: string | undefined, question: string): Promise<string> {
	if (from === undefined) return cli.prompter.secret(question);
	const [first = ""] = (await readInput(cli, from)).split(/\r?\n/);
	if (first === "") throw usageError("--passphrase-file: the first line is empty.");
	return first;
}

/** What is opened of a sealed file lies in a folder that only root sees, and goes when `work` is done. */
async function withOpenFile<T>(
	cli: Cli,
	path: string,
	from: string | undefined,
	work: (path: string) => Promise<T>,
): Promise<T> {
	const head = new Uint8Array(
		await Bun.file(path)
			.slice(0, 16)
			.arrayBuffer()
			.catch(() => new ArrayBuffer(0)),
	);
	if (!isSealed(head)) return work(path);
	const passphrase = await readPassphrase(cli, from, "Passphrase of the backup: ");
	const folder = await mkdtemp(join(tmpdir(), "limiquantix-restore-"));
	try {
		const opened = join(folder, "state.db");
		const handle = await open(opened, "wx", 0o600);
		try {
			const length = await writeSparse(handle, unsealStream(createReadStream(path), passphrase));
			await handle.truncate(length);
		} finally {
			await handle.close();
		}
		return await work(opened);
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}
