// A new Scorecard node is wide enough to read the card on it. Nodes of a saved workflow keep their size.

import { app } from "../../../scripts/app.js";

const WIDTH = 520;

app.registerExtension({
  name: "RationalRewards.Scorecard",

  nodeCreated(node) {
    if (node.comfyClass !== "RationalRewardsScorecard") return;
    // a saved node's own size comes after this, with its configuration
    node.setSize([Math.max(node.size[0], WIDTH), node.size[1]]);
  },
});
