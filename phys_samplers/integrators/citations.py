"""BibTeX of the integrators' sources."""

MARUYAMA = """@article{maruyama1955,
  author = {Maruyama, Gisiro},
  title = {Continuous {Markov} processes and stochastic equations},
  journal = {Rendiconti del Circolo Matematico di Palermo},
  volume = {4},
  pages = {48--90},
  year = {1955}
}"""

MILSTEIN = """@article{milstein1975,
  author = {Mil'shtejn, G. N.},
  title = {Approximate integration of stochastic differential equations},
  journal = {Theory of Probability and Its Applications},
  volume = {19},
  number = {3},
  pages = {557--562},
  year = {1975}
}

@book{kloeden1992,
  author = {Kloeden, Peter E. and Platen, Eckhard},
  title = {Numerical Solution of Stochastic Differential Equations},
  publisher = {Springer},
  year = {1992}
}"""

ROBERTS = """@misc{roberts2012,
  author = {Roberts, A. J.},
  title = {Modify the Improved {Euler} scheme to integrate stochastic differential equations},
  year = {2012},
  eprint = {1210.0933},
  archiveprefix = {arXiv}
}"""

ROESSLER = """@article{roessler2010,
  author = {R{\\"o}{\\ss}ler, Andreas},
  title = {{Runge--Kutta} Methods for the Strong Approximation of Solutions of Stochastic Differential Equations},
  journal = {SIAM Journal on Numerical Analysis},
  volume = {48},
  number = {3},
  pages = {922--952},
  year = {2010},
  doi = {10.1137/09076636X}
}"""

GILLESPIE = """@article{gillespie1996,
  author = {Gillespie, Daniel T.},
  title = {Exact numerical simulation of the {Ornstein--Uhlenbeck} process and its integral},
  journal = {Physical Review E},
  volume = {54},
  number = {2},
  pages = {2084--2091},
  year = {1996}
}"""

HEUN = """@article{heun1900,
  author = {Heun, Karl},
  title = {Neue {Methoden} zur approximativen {Integration} der {Differentialgleichungen} einer unabh{\\"a}ngigen
           {Ver{\\"a}nderlichen}},
  journal = {Zeitschrift f{\\"u}r Mathematik und Physik},
  volume = {45},
  pages = {23--38},
  year = {1900}
}"""

KUTTA = """@article{kutta1901,
  author = {Kutta, Wilhelm},
  title = {Beitrag zur n{\\"a}herungsweisen {Integration} totaler {Differentialgleichungen}},
  journal = {Zeitschrift f{\\"u}r Mathematik und Physik},
  volume = {46},
  pages = {435--453},
  year = {1901}
}"""

DORMAND = """@article{dormand1980,
  author = {Dormand, J. R. and Prince, P. J.},
  title = {A family of embedded {Runge--Kutta} formulae},
  journal = {Journal of Computational and Applied Mathematics},
  volume = {6},
  number = {1},
  pages = {19--26},
  year = {1980}
}"""

DDIM = """@inproceedings{song2021ddim,
  author = {Song, Jiaming and Meng, Chenlin and Ermon, Stefano},
  title = {Denoising Diffusion Implicit Models},
  booktitle = {ICLR},
  year = {2021},
  eprint = {2010.02502},
  archiveprefix = {arXiv}
}"""

EDM = """@inproceedings{karras2022edm,
  title = {Elucidating the Design Space of Diffusion-Based Generative Models},
  author = {Karras, Tero and Aittala, Miika and Aila, Timo and Laine, Samuli},
  booktitle = {NeurIPS}, year = {2022}, eprint = {2206.00364}, archiveprefix = {arXiv}
}"""

DPMPP = """@misc{lu2022dpmpp,
  title = {{DPM-Solver++}: Fast Solver for Guided Sampling of Diffusion Probabilistic Models},
  author = {Lu, Cheng and Zhou, Yuhao and Bao, Fan and Chen, Jianfei and Li, Chongxuan and Zhu, Jun},
  year = {2022}, eprint = {2211.01095}, archiveprefix = {arXiv}
}"""

RESTART = """@inproceedings{xu2023restart,
  title = {Restart Sampling for Improving Generative Processes},
  author = {Xu, Yilun and Deng, Mingyang and Cheng, Xiang and Tian, Yonglong and Liu, Ziming and Jaakkola, Tommi},
  booktitle = {NeurIPS}, year = {2023}, eprint = {2306.14878}, archiveprefix = {arXiv}
}"""

SCORE_SDE = """@inproceedings{song2021scoresde,
  title = {Score-Based Generative Modeling through Stochastic Differential Equations},
  author = {Song, Yang and Sohl-Dickstein, Jascha and Kingma, Diederik P. and Kumar, Abhishek and Ermon, Stefano and
            Poole, Ben},
  booktitle = {ICLR}, year = {2021}, eprint = {2011.13456}, archiveprefix = {arXiv}
}"""
