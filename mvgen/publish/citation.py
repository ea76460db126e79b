"""What to cite, by the name of a source, as BibTeX."""

from __future__ import annotations

_CITATIONS = {
    "casme2": """@article{qu2018casme2,
  author  = {Qu, Fangbing and Wang, Su-Jing and Yan, Wen-Jing and Li, He and Wu, Shuhang and Fu, Xiaolan},
  title   = {{CAS(ME)$^2$}: A Database for Spontaneous Macro-Expression and Micro-Expression Spotting and Recognition},
  journal = {IEEE Transactions on Affective Computing},
  volume  = {9}, number = {4}, pages = {424--436}, year = {2018}, doi = {10.1109/TAFFC.2017.2654440}
}""",
    "casme-ii": """@article{yan2014casme,
  author  = {Yan, Wen-Jing and Li, Xiaobai and Wang, Su-Jing and Zhao, Guoying and Liu, Yong-Jin and Chen, Yu-Hsin and
             Fu, Xiaolan},
  title   = {{CASME II}: An Improved Spontaneous Micro-Expression Database and the Baseline Evaluation},
  journal = {PLoS ONE},
  volume  = {9}, number = {1}, pages = {e86041}, year = {2014}, doi = {10.1371/journal.pone.0086041}
}""",
    "smic": """@inproceedings{li2013smic,
  author    = {Li, Xiaobai and Pfister, Tomas and Huang, Xiaohua and Zhao, Guoying and Pietik{\\"a}inen, Matti},
  title     = {A Spontaneous Micro-expression Database: Inducement, Collection and Baseline},
  booktitle = {10th IEEE International Conference and Workshops on Automatic Face and Gesture Recognition},
  year      = {2013}, doi = {10.1109/FG.2013.6553717}
}""",
    "samm": """@article{davison2018samm,
  author  = {Davison, Adrian K. and Lansley, Cliff and Costen, Nicholas and Tan, Kevin and Yap, Moi Hoon},
  title   = {{SAMM}: A Spontaneous Micro-Facial Movement Dataset},
  journal = {IEEE Transactions on Affective Computing},
  volume  = {9}, number = {1}, pages = {116--129}, year = {2018}, doi = {10.1109/TAFFC.2016.2573832}
}""",
}


def citation(source: str) -> str | None:
    """BibTeX of the paper that a source is described in; None where there is none."""
    return _CITATIONS.get(source)
