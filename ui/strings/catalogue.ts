/**
 * All strings of the UI, by module. Pages import the module that they need, so that the words of a page load with it;
 * translations and the rules about wording (strings.test.ts) go through this one.
 */
import { access } from "./access.ts";
import { auth } from "./auth.ts";
import { chart } from "./chart.ts";
import { cluster } from "./cluster.ts";
import { common } from "./common.ts";
import { consoleText } from "./console.ts";
import { devices } from "./devices.ts";
import { errors } from "./errors.ts";
import { frame } from "./frame.ts";
import { images } from "./images.ts";
import { members } from "./members.ts";
import { move } from "./move.ts";
import { networks } from "./networks.ts";
import { operations } from "./operations.ts";
import { orphans } from "./orphans.ts";
import { attention, overview, welcome } from "./overview.ts";
import { poolContent } from "./pool-content.ts";
import { cloudInit, settings } from "./settings.ts";
import { snapshots } from "./snapshots.ts";
import { states } from "./states.ts";
import { storage } from "./storage.ts";
import { tasks } from "./tasks.ts";
import { vm } from "./vm.ts";
import { vmCreate } from "./vm-create.ts";

export const catalogue = {
	access,
	attention,
	auth,
	cloudInit,
	chart,
	cluster,
	common,
	console: consoleText,
	devices,
	errors,
	frame,
	images,
	members,
	move,
	networks,
	operations,
	orphans,
	overview,
	poolContent,
	settings,
	snapshots,
	states,
	storage,
	tasks,
	vm,
	vmCreate,
	welcome,
} as const;
