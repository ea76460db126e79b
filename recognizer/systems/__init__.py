"""Systems: the published recognisers, by the name given to `--system`.

The module of a system is imported when it is used, so that listing the names is cheap.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from mvgen.core.registry import Registry
from recognizer.errors import RecogniserError
from recognizer.systems.base import FeatureSystem, NeuralSystem, System, Training

__all__ = ["SYSTEMS", "FeatureSystem", "NeuralSystem", "System", "Training", "get_system"]


SYSTEMS = Registry[type[System[Any]]](
    "system",
    RecogniserError,
    [
        ("multiview", "recognizer.systems.multiview:Multiview"),
        ("microexp-stcnn", "recognizer.systems.microexp_stcnn:MicroExpSTCNN"),
        ("microexp-fusenet-intermediate", "recognizer.systems.microexp_fusenet:IntermediateFuseNet"),
        ("microexp-fusenet-late", "recognizer.systems.microexp_fusenet:LateFuseNet"),
        ("strcn-a", "recognizer.systems.strcn_a:StrcnA"),
        ("strcn-g", "recognizer.systems.strcn_g:StrcnG"),
        ("tscnn", "recognizer.systems.tscnn:Tscnn"),
        ("tscnn-dynamic", "recognizer.systems.tscnn_dynamic:TscnnDynamic"),
        ("ststnet", "recognizer.systems.ststnet:Ststnet"),
        ("off-apexnet", "recognizer.systems.off_apexnet:OffApexNet"),
        ("dual-inception", "recognizer.systems.dual_inception:DualInception"),
        ("rcn-a", "recognizer.systems.rcn_a:RcnA"),
        ("htnet", "recognizer.systems.htnet:HTNet"),
        ("causalnet", "recognizer.systems.causalnet:CausalNet"),
        ("mmnet", "recognizer.systems.mmnet:MMNet"),
        ("motion-views", "recognizer.systems.motion_views:MotionViews"),
        ("cnn-frame", "recognizer.systems.cnn_frame:CnnFrame"),
        ("cnn-lstm", "recognizer.systems.cnn_recurrent:CnnLstm"),
        ("cnn-gru", "recognizer.systems.cnn_recurrent:CnnGru"),
        ("flow-3dcnn", "recognizer.systems.flow_3dcnn:Flow3dCnn"),
        ("lbp-top", "recognizer.systems.lbp_top:LbpTop"),
        ("lbp-sip", "recognizer.systems.lbp_sip:LbpSip"),
        ("mdmo", "recognizer.systems.mdmo:Mdmo"),
        ("bi-woof", "recognizer.systems.bi_woof:BiWoof"),
        ("pixel-svm", "recognizer.systems.pixel_svm:PixelSvm"),
    ],
    group="recognizer.systems",
    base=System,
)


def get_system(name: str, **options: Any) -> System[Any]:
    """The system with a name.

    options : values of its `Choices`, as they are or as text ("size=64", "no_snn=true")
    Raises RecogniserError for an unknown name, an unknown option, or an invalid value.
    """
    system = SYSTEMS.get(name)
    return system(_choices(system, options))


def _choices(system: type[System[Any]], options: dict[str, Any]) -> Any:
    from pydantic import TypeAdapter, ValidationError

    known = [field.name for field in fields(system.Choices)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise RecogniserError(f"{system.name} has no option {unknown[0]!r}; {has}")
    try:
        return TypeAdapter(system.Choices).validate_python(options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if not first["loc"]:  # of several options together
            raise RecogniserError(f"{system.name}: {first['ctx']['error']}") from None
        where = ".".join(str(part) for part in first["loc"])
        raise RecogniserError(f"option {where!r} of {system.name}: {first['msg']}, got {first['input']!r}") from None
