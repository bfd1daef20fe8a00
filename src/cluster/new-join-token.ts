/** The text of a join token: whom the new node asks, how it knows them, and the secret that lets it in. */
import { AppError } from "../lib/errors.ts";
import type { Random } from "../lib/random.ts";
import { parseAddress } from "../peer/address.ts";
import type { Identity } from "../peer/identity.ts";
import { formatToken, hashSecret, newSecret } from "../peer/join-token.ts";
import type { StoreIdentity } from "../store/open-store.ts";
import type { StoreReader } from "../store/store.ts";
import type { NewJoinToken } from "./service.ts";

type Tools = { node: StoreIdentity; store: Pick<StoreReader, "all">; random: Random };

/** This node's own addresses come first: it is there. `wrong-state` when no address is known. */
export function newJoinToken(
	tokenId: string,
	{ authorityFingerprint }: Identity,
	{ node, store, random }: Tools,
): NewJoinToken {
	const secret = newSecret(random);
	const addresses = store
		.all("node")
		.filter(({ status }) => status.phase !== "left")
		.sort((a, b) => Number(b.id === node.nodeId) - Number(a.id === node.nodeId))
		.flatMap(({ peerAddresses }) => peerAddresses.map(parseAddress))
		.filter((address) => address !== null);
	if (addresses.length === 0)
		throw new AppError(
			"wrong-state",
			"At which address other nodes reach this one is not known. Say it with `limiquantix cluster readdress HOST:PORT`.",
		);
	const text = formatToken({ tokenId, secret, authorityFingerprint, clusterId: node.clusterId, addresses });
	return { secret: text, secretHash: hashSecret(secret) };
}
