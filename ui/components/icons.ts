/** The icons in use, and which one stands for which kind of object, everywhere the same. */
import {
	Boxes,
	Camera,
	Database,
	Disc3,
	HardDrive,
	KeyRound,
	ListChecks,
	type LucideIcon,
	Monitor,
	Network,
	Server,
	Shield,
	User,
} from "lucide-preact";
import type { ResourceKind } from "../../src/model/schema.ts";

export type Icon = LucideIcon;

export const resourceIcons: Record<ResourceKind, Icon> = {
	cluster: Boxes,
	node: Server,
	vm: Monitor,
	volume: HardDrive,
	snapshot: Camera,
	pool: Database,
	image: Disc3,
	network: Network,
	task: ListChecks,
	user: User,
	session: Shield,
	token: KeyRound,
	joinToken: KeyRound,
	"foreign-vm": Monitor,
};
