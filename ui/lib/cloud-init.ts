/**
 * The cloud-init form: what a person edits, and the spec that the API takes. Pure but for hashing, which is left to
 * the submit. Lists are edited as text, one entry a line.
 */

import { common } from "../strings/common.ts";
import { cloudInit as t } from "../strings/settings.ts";
import type { CloudInitSpec } from "./model-types.ts";
import {
	addressPattern,
	cidrPattern,
	fits,
	guestUserPattern,
	hostNamePattern,
	ipv4Pattern,
	packagePattern,
	passwordHashPattern,
} from "./patterns.ts";

export type GuestUser = {
	name: string;
	sshKeys: string;
	sudo: boolean;
	passwordKind: "none" | "password" | "hash";
	password: string;
	passwordHash: string;
};
export type CloudInitForm = {
	kind: "none" | "form" | "raw";
	hostname: string;
	users: GuestUser[];
	packages: string[];
	networkKind: "default" | "dhcp" | "static";
	addresses: string[];
	gateway: string;
	nameservers: string[];
	userData: string;
	metaData: string;
	networkConfig: string;
};

export const emptyUser = (name = ""): GuestUser => ({
	name,
	sshKeys: "",
	sudo: true,
	passwordKind: "none",
	password: "",
	passwordHash: "",
});

export const emptyCloudInit = (): CloudInitForm => ({
	kind: "none",
	hostname: "",
	users: [emptyUser("admin")],
	packages: [],
	networkKind: "default",
	addresses: [],
	gateway: "",
	nameservers: [],
	userData: "#cloud-config\n",
	metaData: "",
	networkConfig: "",
});

export function cloudInitFormOf(spec: CloudInitSpec | null): CloudInitForm {
	const form = emptyCloudInit();
	if (spec === null) return form;
	if (spec.kind === "raw") {
		const { userData, metaData, networkConfig } = spec;
		return { ...form, kind: "raw", userData, metaData: metaData ?? "", networkConfig: networkConfig ?? "" };
	}
	const { network } = spec;
	return {
		...form,
		kind: "form",
		hostname: spec.hostname ?? "",
		users: spec.users.map(({ name, sshKeys, sudo, passwordHash }) => ({
			...emptyUser(name),
			sshKeys: sshKeys.join("\n"),
			sudo,
			passwordKind: passwordHash === null ? "none" : "hash",
			passwordHash: passwordHash ?? "",
		})),
		packages: [...spec.packages],
		networkKind: network === null ? "default" : network.dhcp4 ? "dhcp" : "static",
		addresses: [...(network?.addresses ?? [])],
		gateway: network?.gateway4 ?? "",
		nameservers: [...(network?.nameservers ?? [])],
	};
}

const lines = (text: string): string[] =>
	text
		.split("\n")
		.map((line) => line.trim())
		.filter((line) => line !== "");

const looksLikeKey = (line: string): boolean => /^(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/]+=*( .*)?$/.test(line);

/** Problems by pointer under `base` ("/cloudInit/users/0/name"). */
export function checkCloudInit(form: CloudInitForm, base = "/cloudInit"): Record<string, string> {
	const errors: Record<string, string> = {};
	if (form.kind === "raw" && form.userData.trim() === "") errors[`${base}/userData`] = common.required;
	if (form.kind !== "form") return errors;
	if (form.hostname !== "" && !fits(hostNamePattern, form.hostname)) errors[`${base}/hostname`] = t.hostnameInvalid;
	for (const [index, user] of form.users.entries()) {
		const path = `${base}/users/${index}`;
		if (!fits(guestUserPattern, user.name)) errors[`${path}/name`] = t.userInvalid;
		const badKey = lines(user.sshKeys).findIndex((line) => !looksLikeKey(line));
		if (badKey >= 0) errors[`${path}/sshKeys`] = t.sshKeyInvalid(badKey + 1);
		if (user.passwordKind === "password" && user.password === "") errors[`${path}/password`] = common.required;
		if (user.passwordKind === "hash" && !fits(passwordHashPattern, user.passwordHash)) {
			errors[`${path}/passwordHash`] = t.passwordHashInvalid;
		}
	}
	if (form.packages.some((name) => !fits(packagePattern, name))) errors[`${base}/packages`] = t.packageInvalid;
	if (form.networkKind === "static") {
		if (form.addresses.length === 0) errors[`${base}/network/addresses`] = common.required;
		else if (form.addresses.some((one) => !fits(cidrPattern, one)))
			errors[`${base}/network/addresses`] = t.addressInvalid;
		if (form.gateway !== "" && !fits(ipv4Pattern, form.gateway)) errors[`${base}/network/gateway4`] = t.gatewayInvalid;
	}
	if (form.networkKind !== "default" && form.nameservers.some((one) => !fits(addressPattern, one))) {
		errors[`${base}/network/nameservers`] = t.nameserverInvalid;
	}
	return errors;
}

/** True when the form makes users and none of them could sign in. */
export const nobodyCanSignIn = (form: CloudInitForm): boolean =>
	form.kind === "form" &&
	form.users.every(({ sshKeys, passwordKind }) => sshKeys.trim() === "" && passwordKind === "none");

/** `hash` turns a password into its crypt(3) form. */
export async function cloudInitSpecOf(
	form: CloudInitForm,
	hash: (password: string) => Promise<string>,
): Promise<CloudInitSpec | null> {
	if (form.kind === "none") return null;
	if (form.kind === "raw") {
		return {
			kind: "raw",
			userData: form.userData,
			metaData: form.metaData.trim() === "" ? null : form.metaData,
			networkConfig: form.networkConfig.trim() === "" ? null : form.networkConfig,
		};
	}
	const users = [];
	for (const { name, sshKeys, sudo, passwordKind, password, passwordHash } of form.users) {
		const hashed = passwordKind === "password" ? await hash(password) : passwordKind === "hash" ? passwordHash : null;
		users.push({ name, sshKeys: lines(sshKeys), passwordHash: hashed, sudo });
	}
	const fixed = form.networkKind === "static";
	return {
		kind: "form",
		hostname: form.hostname === "" ? null : form.hostname,
		users,
		packages: form.packages,
		network:
			form.networkKind === "default"
				? null
				: {
						dhcp4: !fixed,
						addresses: fixed ? form.addresses : [],
						gateway4: fixed && form.gateway !== "" ? form.gateway : null,
						nameservers: form.nameservers,
					},
	};
}

/** For `cloudInitSpecOf`: SHA-512-crypt with a random salt; its code loads when it is needed. */
export async function hashGuestPassword(password: string): Promise<string> {
	const { randomSalt, sha512Crypt } = await import("./sha512-crypt.ts");
	return sha512Crypt(password, randomSalt());
}
