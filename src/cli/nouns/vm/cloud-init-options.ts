/** Options that say what cloud-init sets up in the guest, and what they become in the request. */
import type { VmCreate } from "../../../gen/api.ts";
import type { Cli } from "../../cli.ts";
import { usageError } from "../../failure.ts";
import { readInput, readTextFile, valueOrFile } from "../../input-files.ts";
import { file, type OptionValues, off, text, texts } from "../../options.ts";

export const cloudInitOptions = {
	cloudInitUser: text("--cloud-init-user <name>", "user that cloud-init makes"),
	sshKey: texts("--ssh-key <key>", "public SSH key of that user, or @file; several times for several"),
	passwordHash: text("--password-hash <hash>", "password of that user in crypt(3) form, or @file (openssl passwd -6)"),
	sudo: off("--no-sudo", "that user may not become root"),
	hostname: text("--hostname <name>", "host name in the guest (default: the VM's name)"),
	package: texts("--package <name>", "package to install in the guest; several times for several"),
	address: texts("--address <address>", "static address with its prefix length, instead of DHCP"),
	gateway: text("--gateway <address>", "IPv4 gateway, with --address"),
	nameserver: texts("--nameserver <address>", "name server, with --address"),
	cloudInitFile: file("--cloud-init-file <file>", "own user data, instead of all these; - is standard input"),
	cloudInitMetaData: file("--cloud-init-meta-data <file>", "own meta data, with --cloud-init-file"),
	cloudInitNetwork: file("--cloud-init-network <file>", "own network configuration, with --cloud-init-file"),
} as const;
export type CloudInitOptions = OptionValues<typeof cloudInitOptions>;
type CloudInit = NonNullable<VmCreate["cloudInit"]>;

/** Undefined when nothing of it is asked for. Fails with a usage error. */
export async function cloudInitBody(cli: Cli, options: CloudInitOptions): Promise<CloudInit | undefined> {
	const form = formBody(options);
	if (options.cloudInitFile === undefined) {
		if (options.cloudInitMetaData !== undefined || options.cloudInitNetwork !== undefined)
			throw usageError("--cloud-init-meta-data and --cloud-init-network go together with --cloud-init-file.");
		return form;
	}
	if (form !== undefined) throw usageError("--cloud-init-file takes the place of all other options of cloud-init.");
	const optional = (path: string | undefined) => (path === undefined ? null : readTextFile(path));
	return {
		kind: "raw",
		userData: await readInput(cli, options.cloudInitFile),
		metaData: optional(options.cloudInitMetaData),
		networkConfig: optional(options.cloudInitNetwork),
	};
}

function formBody(options: CloudInitOptions): CloudInit | undefined {
	const { cloudInitUser: name, hostname, package: packages, sudo } = options;
	const sshKeys = options.sshKey.flatMap(keysIn);
	const passwordHash = options.passwordHash === undefined ? null : valueOrFile(options.passwordHash).trim();
	const network = networkBody(options);
	if (name === undefined && (sshKeys.length > 0 || passwordHash !== null || !sudo))
		throw usageError("--ssh-key, --password-hash and --no-sudo go together with --cloud-init-user.");
	if (name === undefined && hostname === undefined && packages.length === 0 && network === null) return undefined;
	const users = name === undefined ? [] : [{ name, sshKeys, passwordHash, sudo }];
	return { kind: "form", hostname: hostname ?? null, users, packages, network };
}

/** A file of keys, like authorized_keys, may hold several, and comments. */
const keysIn = (given: string): string[] =>
	valueOrFile(given)
		.split(/\r?\n/)
		.map((line) => line.trim())
		.filter((line) => line !== "" && !line.startsWith("#"));

function networkBody({ address, gateway, nameserver }: CloudInitOptions) {
	if (address.length === 0) {
		if (gateway !== undefined || nameserver.length > 0)
			throw usageError("--gateway and --nameserver go together with --address.");
		return null;
	}
	return { dhcp4: false, addresses: address, gateway4: gateway ?? null, nameservers: nameserver };
}
