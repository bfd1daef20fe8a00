/** Specs for the tests of the seed. */
import type { CloudInitSpec } from "../../model/vm.ts";
import { type SeedDocuments, seedDocuments } from "./documents.ts";

export const sampleContext = { instanceId: "01890000-0000-7000-8000-000000000001", hostname: "web-1" };

export type Form = Extract<CloudInitSpec, { kind: "form" }>;
export const form = (more: Partial<Form>): Form => ({
	...{ kind: "form", hostname: null, users: [], packages: [], network: null },
	...more,
});

export type Sample = { name: string; spec: CloudInitSpec; macAddress?: string };
export const samples: Sample[] = [
	{ name: "nothing", spec: form({}) },
	{
		name: "everything",
		macAddress: "52:54:00:12:34:56",
		spec: form({
			hostname: "db",
			users: [
				{
					name: "admin",
					sshKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample admin@example", 'command="echo: #no" ssh-rsa AAAA'],
					passwordHash: "$6$saltsalt$abc./XYZ",
					sudo: true,
				},
				{ name: "root", sshKeys: [], passwordHash: "$y$j9T$abc$def", sudo: false },
				{ name: "guest", sshKeys: [], passwordHash: null, sudo: false },
			],
			packages: ["qemu-guest-agent", "nginx", "libstdc++6"],
			network: {
				dhcp4: false,
				addresses: ["192.0.2.10/24", "2001:db8::10/64"],
				gateway4: "192.0.2.1",
				nameservers: ["192.0.2.53", "2001:db8::53"],
			},
		}),
	},
	{
		name: "words that YAML reads as something else",
		spec: form({
			hostname: "on",
			users: [
				{
					name: "no",
					sshKeys: ["0x1f", "1:30", "~", "null", "- a", "{a: b}", "#", "%YAML"],
					passwordHash: null,
					sudo: false,
				},
			],
			packages: ["0755", "1e3", "2001-01-01", "yes", "0b1", "1.10"],
			network: { dhcp4: true, addresses: [], gateway4: null, nameservers: [] },
		}),
	},
	{
		name: "raw",
		spec: {
			kind: "raw",
			userData: "#!/bin/sh\necho hello\n",
			metaData: null,
			networkConfig: "version: 2\nethernets: {}\n",
		},
	},
];

export const documentsOf = ({ spec, macAddress }: Sample): SeedDocuments =>
	seedDocuments(spec, { ...sampleContext, macAddress: macAddress ?? null });
