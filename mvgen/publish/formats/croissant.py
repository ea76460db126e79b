"""`croissant.json`: a machine-readable description, in Croissant 1.1 with its responsible-AI vocabulary.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html, croissant-rai-spec.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, get_args

from mvgen import __version__
from mvgen.core.config import canonical_json
from mvgen.core.records import Label
from mvgen.publish.card import link_in
from mvgen.publish.formats.columns import COLUMNS, Column, Kind
from mvgen.publish.statement import Statement
from mvgen.publish.targets.base import FileRecord

_MEDIA = {
    ".parquet": "application/x-parquet",
    ".tar": "application/x-tar",
    ".json": "application/json",
    ".md": "text/markdown",
}
_TYPES: dict[Kind, str] = {
    "text": "sc:Text",
    "texts": "sc:Text",
    "whole": "sc:Integer",
    "real": "sc:Float",
    "flag": "sc:Boolean",
    "label": "sc:Integer",
    "image": "sc:ImageObject",
    "images": "sc:ImageObject",
    "bytes": "sc:Text",
}
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(facts: Statement, files: Mapping[str, FileRecord]) -> str:
    """JSON-LD of a published dataset. files : every other file of it, by name"""
    views = sorted(name for name in files if name.endswith(facts.suffix))
    link = link_in(facts.access)
    return canonical_json(
        {
            "@context": _CONTEXT,
            "@type": "sc:Dataset",
            "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
            "name": facts.title,
            "description": _description(facts),
            "license": [facts.source["licence"], *([link] if link else [])],
            "creator": {"@type": "sc:Organization", "name": facts.creator},
            "url": facts.url,
            "version": facts.software.get("mvgen") or __version__,
            "keywords": ["micro-expression", "multi-view", "optical flow", "depth", str(facts.source["name"])],
            "isLiveDataset": False,
            **({"citeAs": facts.citation} if facts.citation else {}),
            **_responsible(facts),
            "distribution": [*(_file(name, files[name]) for name in sorted(files)), _file_set(facts, views)],
            "recordSet": [_labels(), _views() if facts.format == "parquet" else _frames()],
        }
    )


def _description(facts: Statement) -> str:
    counts = facts.counts
    about = (
        f"{counts['clips']} clips of {counts['subjects']} subjects, seen from {len(facts.metrics['views'])} views, "
        f"made from {facts.source['title']} ({facts.source['version']}) with mvgen."
    )
    return about + (" These are stand-ins: synthetic performances, no frame of the release." if facts.stand_in else "")


def _responsible(facts: Statement) -> dict[str, Any]:
    permission = f"Permission, in the publisher's words: {facts.permission}." if facts.permission else "None claimed."
    collected = "Rendered synthetic performances of parametric heads." if facts.stand_in else "Clips of the source."
    return {
        "rai:dataCollection": f"{collected} The source: {facts.source['title']}, {facts.source['version']}.",
        "rai:dataCollectionType": ["Synthetic data" if facts.stand_in else "Secondary data analysis"],
        "rai:dataCollectionMissingData": f"Clips that could not be built: {sum(facts.metrics['failures'].values())}.",
        "rai:dataPreprocessingProtocol": [
            "One crop for each clip, found by face detection.",
            "Every frame is registered onto the onset frame by the motion of the head, fitted beside facial actions.",
            "The face's depth is estimated; the clip is projected onto it as texture and rendered from every angle.",
        ],
        "rai:dataImputationProtocol": "Surface that the source did not see well is filled from the other side of the "
        "face where that was seen better; it is never marked as valid.",
        "rai:dataAnnotationProtocol": [
            "Emotions, onset, apex and offset are the source's; a missing apex is estimated and marked.",
            "The emotions are grouped into three classes: negative, positive, surprise.",
        ],
        "rai:machineAnnotationTools": [f"mvgen {facts.software.get('mvgen')}"],
        "rai:dataBiases": list(facts.biases),
        "rai:dataLimitations": list(facts.limits),
        "rai:dataUseCases": [
            "Training and testing micro-expression recognisers on turned heads.",
            "Not for identifying people, nor for judging people by their faces.",
        ],
        "rai:dataSocialImpact": "Recognition of hidden emotions can be used against people; results on this dataset "
        "do not show whether a person lies or what they intend.",
        "rai:personalSensitiveInformation": [facts.people, f"Terms of the source: {facts.terms}. {permission}"],
        "rai:dataReleaseMaintenancePlan": f"For {facts.readers}. It can be rebuilt from the source, byte for byte.",
    }


def _file(name: str, file: FileRecord) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": PurePosixPath(name).name,
        "contentUrl": name,
        "contentSize": f"{file.size} B",
        "encodingFormat": _MEDIA[PurePosixPath(name).suffix],
        "sha256": file.sha256,
    }


def _file_set(facts: Statement, names: list[str]) -> dict[str, Any]:
    if facts.format == "parquet":
        return {
            "@type": "cr:FileSet",
            "@id": "shards",
            "name": "shards",
            "description": "One row for each view of each clip.",
            "encodingFormat": _MEDIA[facts.suffix],
            "includes": f"data/*{facts.suffix}",
        }
    return {
        "@type": "cr:FileSet",
        "@id": "frame-files",
        "name": "frame-files",
        "description": "The colour frames of all views, in the tar files.",
        "containedIn": [{"@id": name} for name in names],
        "encodingFormat": ["image/jpeg", "image/png"],
        "includes": "*.[0-9]*.*",
    }


def _labels() -> dict[str, Any]:
    fields = [("number", "sc:Integer"), ("class", "sc:Text")]
    return {
        "@type": "cr:RecordSet",
        "@id": "labels",
        "name": "labels",
        "description": "The classes by their number in `label`.",
        "key": {"@id": "labels/number"},
        "field": [
            {"@type": "cr:Field", "@id": f"labels/{name}", "name": name, "dataType": kind} for name, kind in fields
        ],
        "data": [{"labels/number": number, "labels/class": name} for number, name in enumerate(get_args(Label))],
    }


def _views() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "views",
        "name": "views",
        "description": "The views of the clips.",
        "key": [{"@id": "views/clip"}, {"@id": "views/view"}],
        "field": [_field(column) for column in COLUMNS],
    }


def _field(column: Column) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": "shards"}, "extract": {"column": column.name}}
    if column.kind in ("image", "images"):
        source["transform"] = {"jsonPath": "bytes"}
    field = {
        "@type": "cr:Field",
        "@id": f"views/{column.name}",
        "name": column.name,
        "description": column.about,
        "dataType": _TYPES[column.kind],
        "source": source,
    }
    # `isArray` is new in 1.1; readers of lists of images still use the older `repeated`.
    return field | (
        {"isArray": True, "arrayShape": "-1", "repeated": True} if column.kind in ("images", "texts") else {}
    )


def _frames() -> dict[str, Any]:
    def field(name: str, kind: str, what: str, about: str, **more: Any) -> dict[str, Any]:
        source = {"fileSet": {"@id": "frame-files"}, "extract": {"fileProperty": what}, **more}
        base = {"@type": "cr:Field", "@id": f"frames/{name}", "name": name, "description": about}
        return {**base, "dataType": kind, "source": source}

    return {
        "@type": "cr:RecordSet",
        "@id": "frames",
        "name": "frames",
        "description": "The colour frames; the other files of a view have the same name up to the first dot.",
        "key": {"@id": "frames/file"},
        "field": [
            field("file", "sc:Text", "filename", "name in the tar file: clip, view, position"),
            field("picture", "sc:ImageObject", "content", "the frame"),
        ],
    }
