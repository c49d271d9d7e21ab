"""One row per rule, composite, word and preset.

To add a rule: a factory in :mod:`signxai_rules.rules` and a row in :data:`RULES`. To make it
nameable: a composite in :mod:`signxai_rules.composites` and a row in :data:`WORDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from signxai_core.registry import CompositeEntry, RuleEntry, Word
from signxai_core.specs import Preset

REFERENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "adebayo2018": "Adebayo et al. (2018), Local explanation methods for deep neural networks lack "
        "sensitivity to parameter values, arXiv:1810.03307",
        "achtibat2024": "Achtibat et al. (2024), AttnLRP: attention-aware layer-wise relevance propagation for "
        "transformers, ICML, arXiv:2402.05602",
        "alber2019": "Alber et al. (2019), iNNvestigate neural networks!, JMLR 20(93)",
        "ali2022": "Ali et al. (2022), XAI for transformers: better explanations through conservative propagation, "
        "ICML, arXiv:2202.07304",
        "anders2021": "Anders et al. (2021), Software for dataset-wide XAI: Zennit, CoRelAy, and ViRelAy, "
        "arXiv:2106.13200",
        "arras2017": "Arras et al. (2017), Explaining recurrent neural network predictions in sentiment analysis, "
        "WASSA, arXiv:1706.07206",
        "bach2015": "Bach et al. (2015), On pixel-wise explanations for non-linear classifier decisions by "
        "layer-wise relevance propagation, PLOS ONE 10(7)",
        "gumpfer2023": "Gumpfer et al. (2023), SIGNed explanations: Unveiling relevant features by reducing "
        "bias, Information Fusion 99",
        "lapuschkin2019": "Lapuschkin et al. (2019), Unmasking Clever Hans predictors and assessing what "
        "machines really learn, Nature Communications 10",
        "montavon2017": "Montavon et al. (2017), Explaining nonlinear classification decisions with deep "
        "Taylor decomposition, Pattern Recognition 65",
        "montavon2019": "Montavon et al. (2019), Layer-wise relevance propagation: an overview, LNCS 11700",
        "selvaraju2017": "Selvaraju et al. (2017), Grad-CAM, ICCV",
        "simonyan2014": "Simonyan et al. (2014), Deep inside convolutional networks, ICLR workshop",
        "smilkov2017": "Smilkov et al. (2017), SmoothGrad: removing noise by adding noise, arXiv:1706.03825",
        "springenberg2015": "Springenberg et al. (2015), Striving for simplicity: the all convolutional net, "
        "ICLR workshop",
        "sundararajan2017": "Sundararajan et al. (2017), Axiomatic attribution for deep networks, ICML",
        "zeiler2014": "Zeiler & Fergus (2014), Visualizing and understanding convolutional networks, ECCV",
        "zhang2016": "Zhang et al. (2016), Top-down neural attention by excitation backprop, ECCV",
    }
)


def _rule(name: str, reference: str, **example: Any) -> RuleEntry:
    return RuleEntry(name=name, factory=f"signxai_rules.rules:{name}", reference=REFERENCES[reference], example=example)


def _composite(name: str, reference: str) -> CompositeEntry:
    return CompositeEntry(name=name, factory=f"signxai_rules.composites:{name}", reference=REFERENCES[reference])


def _chain(text: str, composite: str, reference: str) -> Word:
    return Word(
        text=text, role="chain", factory=f"signxai_rules.composites:{composite}", reference=REFERENCES[reference]
    )


def _prefix(text: str, factory: str, reference: str) -> Word:
    return Word(text=text, role="prefix", factory=f"signxai_rules.methods:{factory}", reference=REFERENCES[reference])


def _base(text: str, reference: str) -> Word:
    return Word(text=text, role="base", factory=f"signxai_rules.methods:{text}", reference=REFERENCES[reference])


def _cam(text: str) -> Word:
    factory = f"signxai_rules.methods:{text}"
    return Word(text=text, role="cam", factory=factory, reference=REFERENCES["selvaraju2017"])


RULES: Final = (
    _rule("z", "bach2015"),
    _rule("epsilon", "bach2015", epsilon=0.25),
    _rule("std_epsilon", "gumpfer2023", k=0.5),
    _rule("sign", "gumpfer2023", mu=0.1),
    _rule("alpha_beta", "bach2015", alpha=2.0),
    _rule("z_plus", "montavon2017"),
    _rule("z_plus_no_bias", "zhang2016"),
    _rule("gamma", "montavon2019", gamma=0.25),
    _rule("w_square", "montavon2017"),
    _rule("flat", "lapuschkin2019"),
    _rule("z_box", "montavon2017", low=-3.0, high=3.0),
    _rule("norm", "alber2019", epsilon=1e-9),
    _rule("identity", "bach2015"),
    _rule("exact", "simonyan2014"),
    _rule("guided", "springenberg2015"),
    _rule("deconvolution", "zeiler2014"),
    _rule("signal_takes_all", "arras2017"),
    _rule("equal_shares", "achtibat2024"),
    _rule("conservative_shares", "ali2022"),
    _rule("softmax", "achtibat2024"),
    _rule("stop", "bach2015"),
    _rule("reference_normalisation", "alber2019", epsilon=1e-7),
)

COMPOSITES: Final = (
    _composite("z", "bach2015"),
    _composite("epsilon", "bach2015"),
    _composite("std_epsilon", "gumpfer2023"),
    _composite("alpha_beta", "bach2015"),
    _composite("gamma", "montavon2019"),
    _composite("z_plus", "montavon2017"),
    _composite("w_square", "montavon2017"),
    _composite("flat", "lapuschkin2019"),
    _composite("sequential_a", "gumpfer2023"),
    _composite("sequential_b", "gumpfer2023"),
    _composite("epsilon_plus", "anders2021"),
    _composite("epsilon_plus_flat", "anders2021"),
    _composite("epsilon_gamma_box", "anders2021"),
    _composite("epsilon_alpha2_beta1", "anders2021"),
    _composite("epsilon_alpha2_beta1_flat", "anders2021"),
    _composite("excitation_backprop", "zhang2016"),
    _composite("attn", "achtibat2024"),
    _composite("attn_gamma", "achtibat2024"),
    _composite("cp", "ali2022"),
    _composite("cp_gamma", "ali2022"),
    _composite("gradient", "simonyan2014"),
    _composite("guided", "springenberg2015"),
    _composite("deconvnet", "zeiler2014"),
)

WORDS: Final = (
    _prefix("lrp", "no_input_layer", "bach2015"),
    _prefix("lrpsign", "sign_input_layer", "gumpfer2023"),
    _prefix("lrpz", "z_input_layer", "bach2015"),
    _prefix("zblrp", "z_box_input_layer", "montavon2017"),
    _prefix("w2lrp", "w_square_input_layer", "montavon2017"),
    _prefix("flatlrp", "flat_input_layer", "lapuschkin2019"),
    _chain("z", "z", "bach2015"),
    _chain("epsilon_{epsilon}", "epsilon", "bach2015"),
    _chain("epsilon_{epsilon}_std_x", "std_epsilon", "gumpfer2023"),
    _chain("alpha_{alpha}_beta_{beta}", "alpha_beta", "bach2015"),
    _chain("gamma_{gamma}", "gamma", "montavon2019"),
    _chain("zplus", "z_plus", "montavon2017"),
    _chain("w2", "w_square", "montavon2017"),
    _chain("flat", "flat", "lapuschkin2019"),
    _chain("sequential_composite_a", "sequential_a", "gumpfer2023"),
    _chain("sequential_composite_b", "sequential_b", "gumpfer2023"),
    _chain("epsilon_plus", "epsilon_plus", "anders2021"),
    _chain("epsilon_plus_flat", "epsilon_plus_flat", "anders2021"),
    _chain("epsilon_gamma_box", "epsilon_gamma_box", "anders2021"),
    _chain("epsilon_alpha2_beta1", "epsilon_alpha2_beta1", "anders2021"),
    _chain("epsilon_alpha2_beta1_flat", "epsilon_alpha2_beta1_flat", "anders2021"),
    _chain("excitation_backprop", "excitation_backprop", "zhang2016"),
    _chain("attn", "attn", "achtibat2024"),
    _chain("attn_gamma_{gamma}", "attn_gamma", "achtibat2024"),
    _chain("cp", "cp", "ali2022"),
    _chain("cp_gamma_{gamma}", "cp_gamma", "ali2022"),
    _base("gradient", "simonyan2014"),
    _base("integrated_gradients", "sundararajan2017"),
    _base("smoothgrad", "smilkov2017"),
    _base("vargrad", "adebayo2018"),
    _base("guided_backprop", "springenberg2015"),
    _base("deconvnet", "zeiler2014"),
    _base("random_uniform", "gumpfer2023"),
    _cam("grad_cam"),
    _cam("grad_cam_timeseries"),
    _cam("guided_grad_cam"),
    _cam("guided_grad_cam_timeseries"),
)

PRESETS: Final = (
    # Caffe's VGG preprocessing, as the reference package bounds it; one number for all channels.
    Preset(
        name="VGG16ILSVRC", low=-123.68, high=151.061, last_conv="block5_conv3", reference=REFERENCES["gumpfer2023"]
    ),
    Preset(name="VGG16MITPL365", last_conv="relu5_3", reference=REFERENCES["gumpfer2023"]),
    Preset(name="MNISTCNN", last_conv="conv2d_1", reference=REFERENCES["gumpfer2023"]),
)
