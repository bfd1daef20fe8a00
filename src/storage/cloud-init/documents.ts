/**
 * cloud-init's NoCloud documents from a VM's spec: meta-data, user-data, network-config (version 2). Pure. The form is
 * written by a YAML writer, every string in double quotes, so that no value reads as anything else, also by the YAML 1.1
 * of cloud-init. Raw documents pass through as they are: they are files of their own in the seed, and can break nothing
 * but themselves.
 */
import { stringify } from "yaml";
import { AppError } from "../../lib/errors.ts";
import type { CloudInitSpec } from "../../model/vm.ts";

export type SeedContext = {
	/** Changing it makes cloud-init run again as on a new machine; the VM's id is a good one. */
	instanceId: string;
	/** Used when the spec gives none; see `hostnameOf`. */
	hostname: string;
	/** Of the NIC that the form's network is for; null: every Ethernet NIC that the guest has. */
	macAddress?: string | null;
};

export type SeedDocuments = { metaData: string; userData: string; networkConfig: string | null };

type FormSpec = Extract<CloudInitSpec, { kind: "form" }>;

/** Fails with `invalid` when a value holds control characters or is not well-formed Unicode. */
export function seedDocuments(spec: CloudInitSpec, context: SeedContext): SeedDocuments {
	if (spec.kind === "raw")
		return {
			userData: spec.userData,
			metaData: spec.metaData ?? metaDataOf(context.instanceId, context.hostname),
			networkConfig: spec.networkConfig,
		};
	return {
		metaData: metaDataOf(context.instanceId, spec.hostname ?? context.hostname),
		userData: `#cloud-config\n${yaml(cloudConfigOf(spec))}`,
		networkConfig: spec.network ? yaml(networkOf(spec.network, context.macAddress ?? null)) : null,
	};
}

/** A host name (RFC 1123) as near to a VM's name as can be: "db_1.test" → "db-1.test". */
export function hostnameOf(vmName: string): string {
	const labels = vmName.split(".").map((label) =>
		label
			.replace(/[^A-Za-z0-9-]/g, "-")
			.replace(/^-+/, "")
			.slice(0, 63)
			.replace(/-+$/, ""),
	);
	return labels.filter((label) => label !== "").join(".") || "vm";
}

const metaDataOf = (instanceId: string, hostname: string): string =>
	yaml({ "instance-id": instanceId, "local-hostname": hostname });

function cloudConfigOf(spec: FormSpec): Record<string, unknown> {
	const config: Record<string, unknown> = {};
	// Without users of its own the guest keeps the default user of its distribution.
	if (spec.users.length > 0) config.users = spec.users.map(userOf);
	if (spec.packages.length > 0) {
		config.package_update = true;
		config.packages = spec.packages;
	}
	return config;
}

function userOf(user: FormSpec["users"][number]): Record<string, unknown> {
	return {
		name: user.name,
		lock_passwd: user.passwordHash === null,
		// Unlike `passwd` it also counts for users that the image has already.
		...(user.passwordHash === null ? {} : { hashed_passwd: user.passwordHash }),
		...(user.sudo ? { sudo: "ALL=(ALL) NOPASSWD:ALL" } : {}),
		...(user.sshKeys.length > 0 ? { ssh_authorized_keys: user.sshKeys } : {}),
	};
}

function networkOf(network: NonNullable<FormSpec["network"]>, macAddress: string | null): Record<string, unknown> {
	return {
		version: 2,
		ethernets: {
			primary: {
				match: macAddress === null ? { name: "e*" } : { macaddress: macAddress },
				dhcp4: network.dhcp4,
				...(network.addresses.length > 0 ? { addresses: network.addresses } : {}),
				...(network.gateway4 === null ? {} : { routes: [{ to: "0.0.0.0/0", via: network.gateway4 }] }),
				...(network.nameservers.length > 0 ? { nameservers: { addresses: network.nameservers } } : {}),
			},
		},
	};
}

function yaml(value: Record<string, unknown>): string {
	requireText(value);
	return stringify(value, { version: "1.1", defaultStringType: "QUOTE_DOUBLE", defaultKeyType: "PLAIN", lineWidth: 0 });
}

/** YAML readers refuse the whole document for one such character. */
function requireText(value: unknown): void {
	if (
		typeof value === "string" &&
		(!value.isWellFormed() || /[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/.test(value))
	)
		throw new AppError("invalid", "A value for cloud-init holds control characters.");
	if (typeof value === "object" && value !== null) for (const inner of Object.values(value)) requireText(inner);
}
