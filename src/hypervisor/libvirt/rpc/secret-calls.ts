/** Calls about libvirt's secrets (Ceph and iSCSI keys). With modular daemons they go to virtsecretd. */
import { type Caller, nothing, quickMs } from "./caller.ts";
import { maxSecrets, maxSecretValueBytes } from "./limits.ts";
import type { CallOptions, SecretRef, SecretTarget } from "./types.ts";
import { readSecret, writeSecret, writeUuid } from "./values.ts";

const route = "secret" as const;

export const secretCalls = (caller: Caller) => ({
	connectListAllSecrets: (options?: CallOptions): Promise<SecretRef[]> =>
		caller.call(
			{
				procedure: "connectListAllSecrets",
				route,
				write: (w) => {
					w.int(1);
					w.uint(0);
				},
				read: (r) => {
					const secrets = r.array(maxSecrets, () => readSecret(r));
					r.uint();
					return secrets;
				},
				timeoutMs: quickMs,
			},
			options,
		),

	secretLookupByUuid: (uuid: string, options?: CallOptions): Promise<SecretRef> =>
		caller.call(
			{
				procedure: "secretLookupByUuid",
				route,
				write: (w) => writeUuid(w, uuid),
				read: readSecret,
				timeoutMs: quickMs,
			},
			options,
		),

	secretDefineXML: (xml: string, options?: CallOptions): Promise<SecretRef> =>
		caller.call(
			{
				procedure: "secretDefineXML",
				route,
				write: (w) => {
					w.string(xml);
					w.uint(0);
				},
				read: readSecret,
				timeoutMs: quickMs,
			},
			options,
		),

	/** At most 64 KiB. */
	secretSetValue: (secret: SecretTarget, value: Uint8Array, options?: CallOptions): Promise<void> =>
		caller.call(
			{
				procedure: "secretSetValue",
				route,
				write: (w) => {
					writeSecret(w, secret);
					w.opaque(value, maxSecretValueBytes);
					w.uint(0);
				},
				read: nothing,
				timeoutMs: quickMs,
			},
			options,
		),

	secretUndefine: (secret: SecretTarget, options?: CallOptions): Promise<void> =>
		caller.call(
			{
				procedure: "secretUndefine",
				route,
				write: (w) => writeSecret(w, secret),
				read: nothing,
				timeoutMs: quickMs,
			},
			options,
		),
});
export type SecretCalls = ReturnType<typeof secretCalls>;
